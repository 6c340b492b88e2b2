//! A body that changes on its way: undone compression, the page or script as a value, compression again. Everything is
//! done as the client asks for more, a piece at a time.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

use actix_web::web::Bytes;
use async_compression::tokio::bufread;
use async_compression::tokio::write;
use async_compression::zstd::DParameter;
use async_compression::Level;
use futures_util::stream;
use futures_util::Stream;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio_util::io::StreamReader;

use crate::web::applications::coding::Coding;
use crate::web::applications::loader;
use crate::web::applications::page::Outcome;
use crate::web::applications::page::Page;

/// What changes the body.
pub enum Rewriter {
    /// A page.
    Page(Box<Page>),
    /// A script.
    Script(loader::Script),
}

impl Rewriter {
    fn write(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Page(page) => page.write(bytes),
            Self::Script(script) => script.write(bytes),
        }
    }

    /// The last bytes, and what became of a page.
    fn end(self) -> (Vec<u8>, Option<Outcome>) {
        match self {
            Self::Page(page) => {
                let (last, outcome) = page.end();
                (last, Some(outcome))
            }
            Self::Script(script) => (script.end(), None),
        }
    }
}

/// A body that is being rewritten.
pub type Rewritten = Pin<Box<dyn Stream<Item = io::Result<Bytes>>>>;

/// Rewrites `body`, which is compressed as `coding` says, and so is what comes out. `ended` is told what became of a
/// page when all of it has passed.
pub fn rewrite(
    body: impl Stream<Item = io::Result<Bytes>> + Unpin + 'static,
    coding: Coding,
    rewriter: Rewriter,
    ended: impl FnOnce(Option<Outcome>) + 'static,
) -> Rewritten {
    let output = Output::default();
    let state = State {
        input: decoder(StreamReader::new(body), coding),
        rewriter,
        encoder: encoder(output.clone(), coding),
        output,
        ended,
    };
    Box::pin(stream::try_unfold(Some(state), |state| async move {
        match state {
            Some(state) => state.step().await.map(Some),
            None => Ok(None),
        }
    }))
}

struct State<F> {
    input: Pin<Box<dyn AsyncRead>>,
    rewriter: Rewriter,
    encoder: Option<Pin<Box<dyn AsyncWrite>>>,
    output: Output,
    ended: F,
}

impl<F: FnOnce(Option<Outcome>)> State<F> {
    /// One piece; no state behind the last one.
    async fn step(mut self) -> io::Result<(Bytes, Option<Self>)> {
        let mut piece = Vec::with_capacity(PIECE);
        let is_end = (&mut self.input)
            .take(PIECE as u64)
            .read_buf(&mut piece)
            .await?
            == 0;
        if !is_end {
            let bytes = self.rewriter.write(&piece);
            let bytes = match &mut self.encoder {
                None => bytes,
                Some(encoder) => {
                    if !bytes.is_empty() {
                        encoder.write_all(&bytes).await?;
                        // The page shows as far as it has come, as without the gateway.
                        encoder.flush().await?;
                    }
                    self.output.0.take()
                }
            };
            return Ok((Bytes::from(bytes), Some(self)));
        }
        let (mut bytes, outcome) = self.rewriter.end();
        if let Some(mut encoder) = self.encoder {
            encoder.write_all(&bytes).await?;
            encoder.shutdown().await?;
            bytes = self.output.0.take();
        }
        (self.ended)(outcome);
        Ok((Bytes::from(bytes), None))
    }
}

fn decoder(
    input: StreamReader<impl Stream<Item = io::Result<Bytes>> + Unpin + 'static, Bytes>,
    coding: Coding,
) -> Pin<Box<dyn AsyncRead>> {
    match coding {
        Coding::Identity => Box::pin(input),
        Coding::Gzip => {
            let mut decoder = bufread::GzipDecoder::new(input);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        Coding::Brotli => Box::pin(bufread::BrotliDecoder::new(input)),
        Coding::Zstd => {
            let window = DParameter::window_log_max(WINDOW_LOG);
            Box::pin(bufread::ZstdDecoder::with_params(input, &[window]))
        }
    }
}

/// Faster than what an origin does once for many; this is done for every page.
fn encoder(output: Output, coding: Coding) -> Option<Pin<Box<dyn AsyncWrite>>> {
    let level = Level::Precise(4);
    Some(match coding {
        Coding::Identity => return None,
        Coding::Gzip => Box::pin(write::GzipEncoder::with_quality(output, level)),
        Coding::Brotli => Box::pin(write::BrotliEncoder::with_quality(output, level)),
        Coding::Zstd => Box::pin(write::ZstdEncoder::with_quality(output, level)),
    })
}

/// What an encoder has written.
#[derive(Debug, Clone, Default)]
struct Output(Rc<RefCell<Vec<u8>>>);

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A window of 8 MiB, the largest that a body may ask for (RFC 9659 section 3).
const WINDOW_LOG: u32 = 23;

/// Bytes of the page at a time, decompressed: however well a page is compressed, no more of it is in memory.
const PIECE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::StreamExt;

    use super::*;

    const TAG: &str = "<script src=\"/lib.js\"></script>";

    async fn coded(text: &[u8], coding: Coding) -> Vec<u8> {
        let output = Output::default();
        let Some(mut encoder) = encoder(output.clone(), coding) else {
            return text.to_vec();
        };
        encoder.write_all(text).await.unwrap();
        encoder.shutdown().await.unwrap();
        output.0.take()
    }

    async fn plain(bytes: Vec<u8>, coding: Coding) -> io::Result<Vec<u8>> {
        let body = stream::iter([Ok(Bytes::from(bytes))]);
        let mut text = Vec::new();
        decoder(StreamReader::new(body), coding)
            .read_to_end(&mut text)
            .await?;
        Ok(text)
    }

    fn rewriter() -> Rewriter {
        Rewriter::Page(Box::new(Page::new(TAG.to_owned(), "/lib.js", true, 4_096)))
    }

    #[tokio::test]
    async fn a_page_goes_in_and_comes_out_in_the_same_coding() {
        let page = format!("<!doctype html><head></head><p>{}", "word ".repeat(100_000));
        for coding in [Coding::Identity, Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            for step in [1_000, 1_000_000] {
                let body = coded(page.as_bytes(), coding).await;
                let chunks: Vec<_> = body
                    .chunks(step)
                    .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
                    .collect();
                let ended = Rc::new(Cell::new(None));
                let told = Rc::clone(&ended);
                let stream = rewrite(stream::iter(chunks), coding, rewriter(), move |outcome| {
                    told.set(outcome)
                });
                let pieces: Vec<Bytes> = stream.map(|piece| piece.unwrap()).collect().await;
                let largest = pieces.iter().map(Bytes::len).max().unwrap();
                assert!(largest <= 2 * PIECE, "{coding:?}: {largest}");
                let output = plain(pieces.concat(), coding).await.unwrap();
                assert_eq!(
                    output,
                    page.replace("<head>", &format!("<head>{TAG}")).as_bytes(),
                    "{coding:?}"
                );
                assert_eq!(ended.get(), Some(Outcome::Inserted));
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_is_cut_short_is_an_error_and_no_short_page() {
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let mut body = coded(b"<head></head><p>text text text", coding).await;
            body.truncate(body.len() - 2);
            let chunks = stream::iter([Ok(Bytes::from(body))]);
            let results: Vec<_> = rewrite(chunks, coding, rewriter(), |_| {}).collect().await;
            assert!(results.last().unwrap().is_err(), "{coding:?}");
        }
    }

    #[tokio::test]
    async fn what_has_come_shows_before_the_rest_does() {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let chunks = Box::pin(stream::unfold(receiver, |mut receiver| async move {
            Some((Ok(receiver.recv().await?), receiver))
        }));
        let mut stream = rewrite(chunks, Coding::Gzip, rewriter(), |_| {});
        let output = Output::default();
        let mut origin = encoder(output.clone(), Coding::Gzip).unwrap();
        origin.write_all(b"<head></head><p>first").await.unwrap();
        origin.flush().await.unwrap();
        sender.send(Bytes::from(output.0.take())).await.unwrap();
        let mut shown = Vec::new();
        let mut decoder = write::GzipDecoder::new(Vec::new());
        while !shown.ends_with(b"first") {
            let piece = stream.next().await.unwrap().unwrap();
            decoder.write_all(&piece).await.unwrap();
            decoder.flush().await.unwrap();
            shown = decoder.get_ref().clone();
        }
        assert!(shown.starts_with(format!("<head>{TAG}").as_bytes()));
    }
}
