//! Header fields of our own, the same in both directions.

use http::HeaderName;

/// `Godwit-Length: BYTES`: how many bytes of content this message will have, in decimal.
///
/// Stands where `Content-Length` would, on a chunked message that announces its digest as a trailer (RFC 9112 section 6.2
/// forbids both together). A response has it so that the receiver can show progress and tell a complete file from a cut one;
/// a `PUT` has it so that the server can refuse what is too long before the content comes.
pub const GODWIT_LENGTH: HeaderName = HeaderName::from_static("godwit-length");
