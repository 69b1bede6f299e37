use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a step did that no step may do. The state that it leads to carries it, so that the
/// property which forbids it fails there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Broken(pub(crate) String);

impl Broken {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Runs a step of the production code, whose own assertions count as properties.
///
/// Where panics abort the process, as in a release build, the hook of [`explain_aborts`] has the
/// last word instead.
pub(crate) fn caught<R>(step: impl FnOnce() -> R) -> Result<R, Broken> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic| Broken(words(&*panic)))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("an assertion failed: {}", text.unwrap_or("without words"))
}

/// Says, where a failed assertion ends the whole process, how to see the way to it.
pub fn explain_aborts() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if cfg!(panic = "abort") {
            before(panic);
            eprintln!(
                "the production code has refused to go on: for the steps that lead here, run \
                 `cargo run -p quorate-model -- check quick`, without --release"
            );
        }
    }));
}
