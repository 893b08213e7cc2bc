//! One client connection from its first byte to its end, and what is put on record when
//! it ends without having become a request.

use super::address::ListenAddress;
use super::client_io::ClientIo;
use super::progress::{InExchange, IoLimits, Phase, Progress};
use super::refusing::error_type;
use super::site::{Listener, Site};
use super::socket::ClientStream;
use super::stall::LocalExecutor;
use super::streams::Lost;
use super::tunnel::{self, Leaving};
use super::worker::Worker;
use crate::capture::{CLIENT_CLOSED_REQUEST, Peer, Refusal};
use crate::http1::{Fault, RequestGuard, RequestLimits};
use crate::proxy::{Limits, stack};
use crate::record::{ErrorType, Outcome};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};
use thiserror::Error;
use tokio::io::AsyncReadExt;

/// What an HTTP/2 client with prior knowledge sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 200;
/// Streams that a client may have reset before they were looked at, until the connection is
/// closed ("rapid reset", CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 20;
/// Streams that may end by the client's own fault, until the connection is closed.
const MAX_ERROR_STREAMS: usize = 256;
/// Fields for which hyper has room without being told. The guard has counted them before; a
/// table of any other size is filled entry by entry for each request (2,400 instructions).
const FIELDS_OF_HYPER: usize = 100;
/// Bytes of one response that wait for a client's window.
const SEND_BUFFER: usize = 64 * 1024;

/// What TLS settled on, where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/2.
    Http2,
}

/// The stack panicked.
#[derive(Debug, Error)]
#[error("the request met a defect of the gateway")]
struct Panicked;

/// Serves a connection until it ends. Dropped, it closes it and what is in flight on it.
pub(super) async fn serve(
    worker: Rc<Worker>,
    site: Rc<Site>,
    stream: ClientStream,
    agreed: Option<Protocol>,
    peer: Peer,
    listen: &ListenAddress,
) {
    let limits = site.listener_limits(listen);
    let listener = site.listener(listen);
    let io_limits =
        IoLimits { head: limits.head_timeout, idle: limits.idle_timeout, write: limits.body_timeout };
    let tunnels = tunnel::Slot::default();
    let progress = Progress::new(worker.lane.timers(), io_limits);
    let mut stream = stream;
    let (first, is_http2) = match agreed {
        Some(Protocol::Http2) => (Vec::new(), true),
        None => match detect(&mut stream, &worker, &limits).await {
            Some(found) => found,
            None => return,
        },
    };
    let peer = Rc::new(peer);
    let service = stack(&worker.lane, &peer, listener.clone(), &site.forwarding);
    let counted = {
        let progress = Rc::clone(&progress);
        let service = Rc::new(service);
        let tunnels = tunnels.clone();
        service_fn(move |request: Request<Incoming>| {
            let guard = InExchange::new(&progress);
            // In HTTP/2 this runs in the connection's own task: a panic must not end the other
            // streams. (One in the future itself ends the task of its stream alone.) What the
            // exchange has touched on the way has closed its account while it unwound.
            let response = catch_unwind(AssertUnwindSafe(|| service.call(request)));
            Leaving::new(response.map_err(|_| Panicked), tunnels.clone(), guard)
        })
    };
    let guard = (!is_http2).then(|| {
        RequestGuard::new(RequestLimits { head_bytes: limits.head_bytes, head_fields: limits.head_fields })
    });
    let preface = PREFACE.len() - first.len().min(PREFACE.len());
    let io = TokioIo::new(ClientIo::new(stream, first, guard, Rc::clone(&progress)));
    let result = if is_http2 {
        progress.multiplex(preface);
        // What only HTTP/2 needs is no part of what every connection is made of.
        let mut connection = Box::pin(
            http2::Builder::new(LocalExecutor(Rc::clone(&progress)))
                .max_concurrent_streams(MAX_STREAMS)
                .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
                .max_local_error_reset_streams(MAX_ERROR_STREAMS)
                .max_send_buf_size(SEND_BUFFER)
                .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
                .serve_connection(io, counted),
        );
        let mut told = false;
        poll_fn(|context| {
            if worker.is_draining() && !told {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            let result = connection.as_mut().poll(context);
            if result.is_pending() {
                record_lost(&progress, &worker, &listener, &peer, None);
            }
            match (result, progress.poll_stall(context)) {
                (Poll::Pending, Poll::Ready(())) => Poll::Ready(Ok(())),
                (result, _) => result,
            }
        })
        .await
    } else {
        let note_fault = || {
            if let Some((fault, is_head)) = progress.take_fault() {
                worker.lane.stats().request_faults.add(fault);
                if is_head {
                    let refusal = refused(&progress, fault.status(), error_type(fault));
                    worker.lane.record_refusal(&listener.first(), &peer, &refusal);
                }
            }
        };
        let mut rest = Some((io, counted));
        let mut connection = None;
        let mut told = false;
        let result = poll_fn(|context| {
            loop {
                if let Some((io, _)) = &mut rest {
                    // While the worker drains, HTTP itself ends what is idle.
                    if !worker.is_draining() {
                        let woken = io.inner_mut().poll_wake(context);
                        note_fault();
                        if !ready!(woken) {
                            return Poll::Ready(Ok(()));
                        }
                    }
                }
                if let Some((io, service)) = rest.take() {
                    let mut http = http1::Builder::new();
                    http.half_close(false).max_buf_size(limits.head_bytes);
                    if limits.head_fields > FIELDS_OF_HYPER {
                        http.max_headers(limits.head_fields);
                    }
                    connection = Some(Box::new(http.serve_connection(io, service)));
                }
                let Some(open) = &mut connection else { return Poll::Ready(Ok(())) };
                if worker.is_draining() && !told {
                    told = true;
                    Pin::new(&mut **open).graceful_shutdown();
                }
                let result = Pin::new(&mut **open).poll(context);
                note_fault();
                if result.is_ready() || !progress.poll_rest(context) {
                    return result;
                }
                // It is idle: what HTTP holds for the next request is given back until it comes.
                if let Some(open) = connection.take() {
                    let mut parts = open.into_parts();
                    parts.io.inner_mut().put_back(&parts.read_buf);
                    rest = Some((parts.io, parts.service));
                }
            }
        })
        .await;
        if result.is_ok()
            && let Some(tunnel) = tunnels.take()
            && let Some(connection) = connection
        {
            // The connection has left HTTP; its exchange ends with the tunnel.
            let parts = connection.into_parts();
            // Boxed: what no other connection needs is no part of what each is made of.
            Box::pin(tunnel.run(parts.io.into_inner(), parts.read_buf)).await;
        }
        result
    };
    if result.as_ref().is_err_and(hyper::Error::is_parse) && !is_http2 {
        // The guard lets nothing through that hyper refuses, but for a target that no URI has.
        worker.lane.stats().request_faults.add(Fault::Target);
    }
    let end = if is_http2 {
        result.err().and_then(|error| end_of_http2(&progress, &error))
    } else {
        end_of_http1(&progress, result.err(), worker.is_draining())
    };
    record_lost(&progress, &worker, &listener, &peer, Some(end.is_some()));
    if let Some(refusal) = end {
        if refusal.error == ErrorType::ClientTimeout || is_http2 {
            worker.lane.stats().refusals.add(refusal.error);
        }
        worker.lane.record_refusal(&listener.first(), &peer, &refusal);
    }
}

/// Reads as much as it takes to tell HTTP/2 from HTTP/1.1. `None`: the client left or was
/// silent for too long, which makes no record, since it sent no byte or no more than the
/// beginning of a preface.
async fn detect(stream: &mut ClientStream, worker: &Worker, limits: &Limits) -> Option<(Vec<u8>, bool)> {
    let timer = worker.lane.timers().timer();
    timer.set(limits.head_timeout);
    let mut first = vec![0; PREFACE.len()];
    let mut length = 0;
    loop {
        let mut read = pin!(stream.read(&mut first[length..]));
        let bytes = poll_fn(|context| {
            if worker.is_draining() {
                return Poll::Ready(None);
            }
            match read.as_mut().poll(context) {
                Poll::Ready(result) => Poll::Ready(result.ok()),
                Poll::Pending => timer.poll(context).map(|()| None),
            }
        })
        .await?;
        length += bytes;
        if bytes == 0 && length == 0 {
            return None;
        }
        let is_preface = first[..length] == PREFACE[..length];
        if !is_preface || bytes == 0 || length == PREFACE.len() {
            first.truncate(length);
            return Some((first, is_preface && length == PREFACE.len()));
        }
    }
}

fn refused(progress: &Progress, status: u16, error: ErrorType) -> Refusal {
    Refusal { start: progress.head_start(), status, outcome: Outcome::Failure, error }
}

/// What is to be put on record of a connection that ended with something that is no request.
fn end_of_http1(progress: &Progress, error: Option<hyper::Error>, is_draining: bool) -> Option<Refusal> {
    match error {
        Some(error) if error.is_parse_too_large() => Some(refused(progress, 431, ErrorType::TooLarge)),
        Some(error) if error.is_parse() => Some(refused(progress, 400, ErrorType::Malformed)),
        _ if progress.phase() != Phase::Head => None,
        _ if progress.timed_out() => Some(refused(progress, 408, ErrorType::ClientTimeout)),
        _ => {
            let error = if is_draining { ErrorType::Shutdown } else { ErrorType::ClientAbort };
            let status = CLIENT_CLOSED_REQUEST;
            Some(Refusal { outcome: Outcome::Aborted, ..refused(progress, status, error) })
        }
    }
}

/// The same of HTTP/2: streams in flight have their own records; this one tells of the
/// connection, where it was closed for what the client did with its frames.
fn end_of_http2(progress: &Progress, error: &hyper::Error) -> Option<Refusal> {
    if progress.has_bad_frame() {
        return Some(refused(progress, 0, ErrorType::Malformed));
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_ours = error.is_library() && !error.is_io();
            return is_ours.then(|| refused(progress, 0, ErrorType::Malformed));
        }
        cause = error.source();
    }
    error.is_parse().then(|| refused(progress, 0, ErrorType::Malformed))
}

/// Puts streams of HTTP/2 on record that never became a request. At the end of the connection,
/// `over` tells whether that has a record, which then stands for one of them.
fn record_lost(progress: &Progress, worker: &Worker, listener: &Listener, peer: &Peer, over: Option<bool>) {
    let lost = progress.take_lost(over.is_some());
    if lost == Lost::default() {
        return;
    }
    let failed = |status, error| refused(progress, status, error);
    let aborted = |status, error| Refusal { outcome: Outcome::Aborted, ..refused(progress, status, error) };
    let ended = match over {
        // With the connection, for what came on it.
        Some(true) => failed(0, ErrorType::Malformed),
        _ if worker.is_draining() => aborted(0, ErrorType::Shutdown),
        _ => aborted(CLIENT_CLOSED_REQUEST, ErrorType::ClientAbort),
    };
    let kinds = [
        (lost.malformed, failed(0, ErrorType::Malformed)),
        (lost.refused, failed(0, ErrorType::Overload)),
        (lost.ended, ended),
    ];
    let mut stands_for = u64::from(over == Some(true));
    for (count, refusal) in kinds {
        let here = stands_for.min(count);
        stands_for -= here;
        for _ in here..count {
            worker.lane.stats().refusals.add(refusal.error);
            worker.lane.record_refusal(&listener.first(), peer, &refusal);
        }
    }
}
