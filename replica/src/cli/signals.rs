//! Signals as messages.
//!
//! The runtime's listener hears one signal and then puts the default action back, which would end
//! the process in the gap before it listens again. So a second listener, which is never answered,
//! keeps the handler in place.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;

use rustix::process::Signal;

use super::Failure;

/// Sends `signal` to `heard` whenever the process gets it, on the runtime of this thread.
pub(crate) fn listen(signal: Signal, heard: flume::Sender<Signal>) {
    compio::runtime::spawn(hear(signal, heard, None)).detach();
}

/// Drops `deaf` once no signal can be missed any more, or if none can be heard.
async fn hear(
    signal: Signal,
    heard: flume::Sender<Signal>,
    mut deaf: Option<flume::Sender<Infallible>>,
) {
    let mut keeper = pin!(compio::signal::unix::signal(signal.as_raw()));
    if let Poll::Ready(Err(error)) = begin(keeper.as_mut()).await {
        tracing::warn!(?signal, %error, "a signal cannot be listened for");
        return;
    }
    loop {
        let mut next = pin!(compio::signal::unix::signal(signal.as_raw()));
        let begun = begin(next.as_mut()).await;
        drop(deaf.take());
        let heard_one = match begun {
            Poll::Ready(result) => result,
            Poll::Pending => next.await,
        };
        if heard_one.is_err() || heard.send(signal).is_err() {
            break;
        }
    }
}

/// Lets `work` go as far as it gets without waiting.
async fn begin<F: Future>(mut work: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await
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
/// Listens on a thread of its own, so that the caller may block its thread; from the return on.
pub(crate) fn stop_on_signal(first: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    listen_on_thread(first, Later::End)
}

/// The same, but later ones change nothing: for who is quick to stop and must not be cut short.
/// There is more than one where a signal goes to a process and to its group.
pub(crate) fn stop_in_order(first: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    listen_on_thread(first, Later::Ignore)
}

/// What signals do after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    End,
    Ignore,
}

fn listen_on_thread(first: impl FnOnce() + Send + 'static, later: Later) -> Result<(), Failure> {
    let (deaf, all_hear) = flume::bounded(0);
    let listener = move || {
        let listening = super::block_on(async move {
            let (sender, receiver) = flume::unbounded();
            for signal in [Signal::INT, Signal::TERM] {
                let hearing = hear(signal, sender.clone(), Some(deaf.clone()));
                compio::runtime::spawn(hearing).detach();
            }
            drop((sender, deaf));
            if receiver.recv_async().await.is_ok() {
                first();
            }
            match later {
                Later::End => exit_on_signal(receiver).await,
                Later::Ignore => while receiver.recv_async().await.is_ok() {},
            }
            Ok(())
        });
        if let Err(error) = listening {
            tracing::error!(%error, "no signals can be heard: only SIGKILL stops this process");
        }
    };
    let thread = std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listener);
    thread.map_err(|error| Failure::failed(format!("a thread cannot be started: {error}")))?;
    // The only result is that nobody is deaf any more.
    let _ = all_hear.recv();
    Ok(())
}
