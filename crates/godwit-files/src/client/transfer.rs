//! The requests of one download: as many as it takes until all bytes are in the part.

use std::ops::Range;
use std::sync::Arc;

use godwit_http::{Body, Client, ConnectionHandle};
use http::header::{CONNECTION, IF_RANGE, RANGE, TE, TRAILER};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;

use super::blocking::{Cancelled, blocking};
use super::existing::describe;
use super::receive::{Ending, receive};
use super::segments::{Segments, Source, first_segment};
use super::{DownloadError, DownloadOptions, Refusal, RemoteUrl, request};
use crate::hash::{REPR_DIGEST, Sha256Digest};
use crate::plan::resume::{Anew, Answer, AnswerError, Start, answer, segment_answer, start};
use crate::progress::{Event, Observer};
use crate::store::local::{Part, PartMeta, Validator};

/// A download between its requests.
pub(super) struct Transfer<'a> {
    client: &'a Client,
    url: &'a RemoteUrl,
    options: &'a DownloadOptions,
    observer: Arc<dyn Observer>,
    /// Away only while disk work has it.
    part: Option<Part>,
    /// Bytes in this run.
    received: u64,
    /// Whether this run has reached the server at all: a wrong address fails at once.
    answered: bool,
    /// Whether the part turned out to be of no use.
    useless: bool,
}

/// No more bytes will come.
pub(super) enum Arrived {
    /// All are in the part.
    Whole {
        /// The server's SHA-256 of the file.
        digest: Option<Sha256Digest>,
        connection: Option<ConnectionHandle>,
    },
    /// There were more than the `length` that the server had promised.
    TooLong { length: u64 },
}

/// How one request ended that did not fail.
enum Attempt {
    Arrived(Arrived),
    /// What was there is of no use: ask once more, for the whole file.
    Again,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        client: &'a Client,
        url: &'a RemoteUrl,
        options: &'a DownloadOptions,
        observer: Arc<dyn Observer>,
        part: Part,
    ) -> Self {
        Self { client, url, options, observer, part: Some(part), received: 0, answered: false, useless: false }
    }

    /// Asks until all bytes are there, or the retries are used up, or something fails for good.
    pub(super) async fn run(&mut self) -> Result<Arrived, DownloadError> {
        let (mut attempt, mut furthest) = (0, self.part().length());
        loop {
            let error = match self.attempt().await {
                Ok(Attempt::Arrived(arrived)) => return Ok(arrived),
                Ok(Attempt::Again) => continue,
                Err(error) => error,
            };
            // Starting anew again and again is no progress.
            attempt = if self.part().length() > furthest { 1 } else { attempt + 1 };
            furthest = furthest.max(self.part().length());
            let worth_it = error.is_transient() && (self.answered || self.part().length() > 0);
            let Some(after) = self.options.retry.delay(attempt).filter(|_| worth_it) else { return Err(error) };
            let attempts_max = self.options.retry.attempts_max;
            self.observer.on(Event::Retrying { error: &error, after, attempt, attempts_max });
            tokio::time::sleep(after).await;
        }
    }

    pub(super) fn into_part(self) -> Part {
        self.part.expect("the part is here between requests")
    }

    /// Bytes received by this run.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    async fn attempt(&mut self) -> Result<Attempt, DownloadError> {
        let mut start = start(self.part().meta(), &self.url.to_string(), self.part().length());
        if std::mem::take(&mut self.useless) {
            start = Start::Anew(Anew::Changed);
        }
        match start {
            Start::Anew(why) => {
                if why != Anew::Nothing {
                    self.observer.on(Event::StartingAnew(why));
                }
                self.fetch(0, None).await
            }
            Start::Continue { from, validator } => {
                self.reread().await?;
                self.fetch(from, Some(validator)).await
            }
            Start::Complete { validator } => {
                self.reread().await?;
                self.check_complete(&validator).await
            }
        }
    }

    /// Everything from byte `from` on; `validator` is of what is there already.
    async fn fetch(&mut self, from: u64, validator: Option<Validator>) -> Result<Attempt, DownloadError> {
        let connections = self.options.connections();
        if connections > 1
            && let Some(attempt) = self.fetch_segments(from, validator.as_ref(), connections).await?
        {
            return Ok(attempt);
        }
        match validator {
            None => self.fetch_whole().await,
            Some(validator) => self.fetch_rest(from, validator).await,
        }
    }

    /// The same over several connections; `None` if the server does not send parts of a file that it can tell from other versions.
    async fn fetch_segments(
        &mut self,
        from: u64,
        validator: Option<&Validator>,
        connections: usize,
    ) -> Result<Option<Attempt>, DownloadError> {
        let first = first_segment(from);
        let response = self.send(get_range(self.url, &first, validator)).await?;
        let Some(length) = segment_answer(response.status(), response.headers(), &first) else { return Ok(None) };
        let version = match (validator, Validator::of(response.headers())) {
            (None, Some(version)) => {
                let meta =
                    PartMeta { url: self.url.to_string(), validator: Some(version.clone()), length: Some(length) };
                self.on_disk(move |part, _| part.begin(meta)).await?;
                version
            }
            (Some(validator), _) if self.is_same(&response, validator, Some(length)) => validator.clone(),
            _ => return Ok(None),
        };
        let source = Source {
            client: self.client.clone(),
            url: self.url.clone(),
            validator: version,
            response_timeout: self.options.response_timeout,
            length,
        };
        let (head, body) = response.into_parts();
        let body = Segments::new(source, &first, body, connections).boxed_unsync();
        self.store(Response::from_parts(head, body), Some(length), true).await.map(Some)
    }

    async fn fetch_whole(&mut self) -> Result<Attempt, DownloadError> {
        let response = self.send(get(self.url)).await?;
        match answer(response.status(), response.headers(), 0) {
            Ok(Answer::Whole { length }) => self.store_whole(response, length).await,
            Ok(Answer::Rest { .. } | Answer::BeyondEnd { .. }) => Err(AnswerError::WrongRange.into()),
            Err(AnswerError::Status(_)) => Err(DownloadError::Refused(Refusal::read(response).await)),
            Err(error) => Err(error.into()),
        }
    }

    async fn fetch_rest(&mut self, from: u64, validator: Validator) -> Result<Attempt, DownloadError> {
        let response = self.send(get_rest(self.url, from, &validator)).await?;
        match answer(response.status(), response.headers(), from) {
            Ok(Answer::Whole { length }) => {
                self.observer.on(Event::StartingAnew(Anew::Changed));
                self.store_whole(response, length).await
            }
            Ok(Answer::Rest { length }) if self.is_same(&response, &validator, length) => {
                let length = length.or_else(|| self.part().meta()?.length);
                self.store(response, length, true).await
            }
            Ok(Answer::BeyondEnd { length: Some(length) }) if length == from => self.check_complete(&validator).await,
            Ok(Answer::Rest { .. } | Answer::BeyondEnd { .. }) | Err(AnswerError::WrongRange) => Ok(self.again()),
            Err(AnswerError::Status(_)) => Err(DownloadError::Refused(Refusal::read(response).await)),
            Err(error) => Err(error.into()),
        }
    }

    /// All bytes are there from an earlier request: they count if the server's file is still that version.
    async fn check_complete(&mut self, validator: &Validator) -> Result<Attempt, DownloadError> {
        self.observer.on(Event::Verifying);
        let described = describe(self.client, self.url, true, self.options).await;
        match described {
            Ok(now) if now.validator.as_ref() == Some(validator) => {
                Ok(Attempt::Arrived(Arrived::Whole { digest: now.digest, connection: None }))
            }
            // A server without HEAD cannot tell; GET will, and also if the file is gone.
            Ok(_) => Ok(self.again()),
            Err(DownloadError::Refused(refusal)) if !refusal.is_transient() => Ok(self.again()),
            Err(error) => Err(error),
        }
    }

    async fn store_whole(&mut self, response: Response<Body>, length: Option<u64>) -> Result<Attempt, DownloadError> {
        let validator = Validator::of(response.headers());
        let meta = PartMeta { url: self.url.to_string(), validator, length };
        self.on_disk(move |part, _| part.begin(meta)).await?;
        self.store(response, length, false).await
    }

    /// Stores the content of an answer that continues the part.
    async fn store(
        &mut self,
        response: Response<Body>,
        length: Option<u64>,
        partial: bool,
    ) -> Result<Attempt, DownloadError> {
        let (head, body) = response.into_parts();
        let from = self.part().length();
        self.observer.on(Event::Started { from, total: length });
        let part = self.part.take().expect("the part is here between requests");
        let (part, ending) = receive(part, body, length, &*self.observer).await;
        let arrived = part.length();
        self.part = Some(part);
        self.received += arrived - from;
        let trailers = match ending? {
            Ending::TooLong { length } => return Ok(Attempt::Arrived(Arrived::TooLong { length })),
            Ending::End(_) if length.is_some_and(|length| arrived < length) => {
                let length = length.unwrap_or_default();
                return Err(DownloadError::Short { arrived, length });
            }
            Ending::End(trailers) => trailers,
        };
        let connection = head.extensions.get::<ConnectionHandle>().cloned();
        let mut digest = trailers.as_ref().and_then(digest_in).or_else(|| digest_in(&head.headers));
        if digest.is_none() && (partial || head.headers.contains_key(TRAILER)) {
            digest = self.ask_digest().await?;
        }
        Ok(Attempt::Arrived(Arrived::Whole { digest, connection }))
    }

    /// Asks for the SHA-256 of the version that just arrived; of another version it would tell nothing.
    async fn ask_digest(&self) -> Result<Option<Sha256Digest>, DownloadError> {
        self.observer.on(Event::Verifying);
        let now = match describe(self.client, self.url, true, self.options).await {
            // All bytes are there: a server that does not answer HEAD only leaves them unverified.
            Err(DownloadError::Refused(refusal)) if !refusal.is_transient() => return Ok(None),
            now => now?,
        };
        let ours = self.part().meta().and_then(|meta| meta.validator.as_ref());
        Ok(now.digest.filter(|_| ours.is_some() && now.validator.as_ref() == ours))
    }

    /// Lets the digest cover what an earlier run left.
    async fn reread(&mut self) -> Result<(), DownloadError> {
        if !self.part().is_hashed() {
            self.observer.on(Event::Rereading { bytes: self.part().length() });
            self.on_disk(|part, cancelled| part.hash_existing(|| cancelled.is_set())).await?;
        }
        Ok(())
    }

    fn again(&mut self) -> Attempt {
        self.useless = true;
        Attempt::Again
    }

    async fn send(&mut self, request: Request<Body>) -> Result<Response<Body>, DownloadError> {
        let limit = self.options.response_timeout;
        let answered = tokio::time::timeout(limit, self.client.request(request)).await;
        let response = answered.map_err(|_| DownloadError::NoAnswer(limit))??;
        self.answered = true;
        Ok(response)
    }

    async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Part, &Cancelled) -> T + Send + 'static,
    ) -> T {
        let mut part = self.part.take().expect("the part is here between requests");
        let (part, done) = blocking(move |cancelled| {
            let done = work(&mut part, cancelled);
            (part, done)
        })
        .await;
        self.part = Some(part);
        done
    }

    /// Whether a partial answer belongs to the version that the part is of.
    fn is_same(&self, response: &Response<Body>, validator: &Validator, length: Option<u64>) -> bool {
        let known = self.part().meta().and_then(|meta| meta.length);
        let lengths_agree = known.is_none() || length.is_none() || known == length;
        lengths_agree && Validator::of(response.headers()).is_none_or(|now| now == *validator)
    }

    fn part(&self) -> &Part {
        self.part.as_ref().expect("the part is here between requests")
    }
}

fn get(url: &RemoteUrl) -> Request<Body> {
    let mut headers = HeaderMap::new();
    // RFC 9110 section 10.1.4: TE is for this hop alone, and Connection has to say so.
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONNECTION, HeaderValue::from_static("TE"));
    request(Method::GET, url, headers)
}

fn get_rest(url: &RemoteUrl, from: u64, validator: &Validator) -> Request<Body> {
    get_bytes(url, &format!("bytes={from}-"), Some(validator))
}

/// Of the version with this validator; without one of any.
pub(super) fn get_range(url: &RemoteUrl, range: &Range<u64>, validator: Option<&Validator>) -> Request<Body> {
    get_bytes(url, &format!("bytes={}-{}", range.start, range.end - 1), validator)
}

fn get_bytes(url: &RemoteUrl, range: &str, validator: Option<&Validator>) -> Request<Body> {
    let mut request = get(url);
    request.headers_mut().insert(RANGE, HeaderValue::from_str(range).expect("digits"));
    if let Some(validator) = validator {
        // A meta file that somebody edited may hold anything; without If-Range the server's own checks decide.
        let validator = HeaderValue::from_str(validator.as_str());
        request.headers_mut().insert(IF_RANGE, validator.unwrap_or(HeaderValue::from_static("\"\"")));
    }
    request
}

fn digest_in(headers: &HeaderMap) -> Option<Sha256Digest> {
    headers.get_all(REPR_DIGEST).iter().find_map(Sha256Digest::from_repr_digest)
}
