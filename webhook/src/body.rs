//! Reads the body of a review within its bounds.

use crate::bounds::Bounds;
use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Longer than [`Bounds::body_bytes`].
    TooLong,
    /// Too many long bodies are in memory already.
    Busy,
    /// The client went away or broke the framing.
    Broken,
}

/// A whole body, and its share of the memory for long ones.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// Granularity of the memory for long bodies: semaphores count to `u32::MAX >> 3` at most.
const UNIT: usize = 1024;

/// Memory for bodies longer than [`Bounds::SMALL_BODY`].
pub(crate) fn memory(bounds: &Bounds) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(bounds.buffered_bytes / UNIT))
}

/// Reads all of `body`, or says why not. Never holds more than the limit, whatever length was
/// announced; the caller sets the deadline.
pub(crate) async fn read(
    body: &mut Body,
    bounds: &Bounds,
    memory: &Arc<Semaphore>,
) -> Result<Whole, Unread> {
    let announced = body.size_hint().lower();
    if announced > bounds.body_bytes as u64 {
        return Err(Unread::TooLong);
    }
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    let mut share = None;
    if announced > Bounds::SMALL_BODY {
        share = Some(take(memory, announced)?);
    }
    let Some(first) = data(body).await? else {
        return Ok(Whole {
            bytes: Bytes::new(),
            _share: None,
        });
    };
    // The usual case: one frame, no copy.
    if body.is_end_stream() {
        return Ok(Whole {
            bytes: first,
            _share: share,
        });
    }
    // At most what the share stands for: an announced length alone reserves nothing big.
    let mut bytes = Vec::with_capacity(announced.max(first.len()));
    bytes.extend_from_slice(&first);
    drop(first);
    while let Some(frame) = data(body).await? {
        let length = bytes.len() + frame.len();
        if length > bounds.body_bytes {
            return Err(Unread::TooLong);
        }
        // Without an announced length (chunked) a long body is counted when it becomes one.
        if length > Bounds::SMALL_BODY && share.is_none() {
            share = Some(take(memory, bounds.body_bytes)?);
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(Whole {
        bytes: bytes.into(),
        _share: share,
    })
}

fn take(memory: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Unread> {
    let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
    Arc::clone(memory)
        .try_acquire_many_owned(units)
        .map_err(|_| Unread::Busy)
}

async fn data(body: &mut Body) -> Result<Option<Bytes>, Unread> {
    while let Some(frame) = body.frame().await {
        // Trailers are nothing to us.
        if let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Takes what is left of a refused body and throws it away, up to a few times the limit: a client
/// that is still writing sees the answer instead of a reset. Never fails.
pub(crate) async fn discard(body: &mut Body, bounds: &Bounds) {
    let mut left = bounds.body_bytes.saturating_mul(3);
    while let Ok(Some(frame)) = data(body).await {
        let Some(rest) = left.checked_sub(frame.len()) else {
            return;
        };
        left = rest;
    }
}
