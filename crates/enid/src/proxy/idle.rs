//! Connections on which nothing moves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// When something last moved.
#[derive(Debug, Clone)]
pub(super) struct Movement {
    began: Instant,
    /// Milliseconds after that.
    last: Arc<AtomicU64>,
}

impl Movement {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), last: Arc::default() }
    }

    fn note(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Until nothing has moved for so long.
    pub(super) async fn ceased(&self, patience: Duration) {
        loop {
            let until = self.began + Duration::from_millis(self.last.load(Ordering::Relaxed)) + patience;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A connection that notes when something moves.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    movement: Movement,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, movement: &Movement) -> Self {
        Self { stream, movement: movement.clone() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.movement.note();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.movement.note();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn what_moves_is_waited_for() {
        let movement = Movement::new();
        let mut watched = Watched::new(tokio::io::sink(), &movement);
        let patience = Duration::from_millis(200);
        let began = Instant::now();
        let moving = async {
            for _ in 0..5 {
                tokio::time::sleep(patience / 4).await;
                watched.write_all(b"x").await.unwrap();
            }
            began.elapsed()
        };
        let (moved, ()) = tokio::join!(moving, movement.ceased(patience));
        assert!(began.elapsed() + Duration::from_millis(2) >= moved + patience, "{:?}", began.elapsed());
    }
}
