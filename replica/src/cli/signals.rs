//! Signals as messages.
//!
//! The runtime's listener hears one signal and then puts the default action back, which would end
//! the process in the gap before it listens again. So a second listener, which is never answered,
//! keeps the handler in place.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use rustix::process::Signal;

use super::Failure;

/// Sends `signal` to `heard` whenever the process gets it, on the runtime of this thread.
pub(crate) fn listen(signal: Signal, heard: flume::Sender<Signal>) {
    compio::runtime::spawn(async move {
        let mut keeper = pin!(compio::signal::unix::signal(signal.as_raw()));
        let kept = std::future::poll_fn(|context| Poll::Ready(keeper.as_mut().poll(context)));
        if let Poll::Ready(Err(error)) = kept.await {
            tracing::warn!(?signal, %error, "a signal cannot be listened for");
            return;
        }
        while compio::signal::unix::signal(signal.as_raw()).await.is_ok() {
            if heard.send(signal).is_err() {
                break;
            }
        }
    })
    .detach();
}

/// Ends the process as soon as one more signal is heard.
pub(crate) fn exit_on_next(heard: flume::Receiver<Signal>) {
    compio::runtime::spawn(exit_on_signal(heard)).detach();
}

async fn exit_on_signal(heard: flume::Receiver<Signal>) {
    if let Ok(signal) = heard.recv_async().await {
        std::process::exit(128 + signal.as_raw());
    }
}

/// Runs `first` on the first SIGINT or SIGTERM; the second ends the process at once.
///
/// Listens on a thread of its own, so that the caller may block its thread.
pub(crate) fn stop_on_signal(first: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let listener = move || {
        let listening = super::block_on(async move {
            let (sender, receiver) = flume::unbounded();
            listen(Signal::INT, sender.clone());
            listen(Signal::TERM, sender);
            if receiver.recv_async().await.is_ok() {
                first();
            }
            exit_on_signal(receiver).await;
            Ok(())
        });
        if let Err(error) = listening {
            tracing::error!(%error, "signals cannot be listened for: only SIGKILL stops this node");
        }
    };
    let thread = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listener);
    thread.map_err(|error| Failure::failed(format!("a thread cannot be started: {error}")))?;
    Ok(())
}
