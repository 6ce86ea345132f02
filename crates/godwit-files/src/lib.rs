//! Files over HTTP: serve, list, download, upload, resume, verify
