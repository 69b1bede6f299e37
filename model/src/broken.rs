use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// What a step did that no step may do. The state that it leads to carries it, so that the rule
/// which forbids it is violated there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Broken {
    /// The name of the rule.
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

/// The rule that the production code's own assertions stand for.
pub(crate) const ASSERTIONS: &str = "the assertions of the production code hold";

impl Broken {
    pub(crate) fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self {
            rule,
            what: what.into(),
        }
    }
}

thread_local! {
    /// Whether this thread is inside a step whose panic is caught.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
    /// Where the last of these panics happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a step of the production code, whose own assertions count as rules.
pub(crate) fn caught<R>(step: impl FnOnce() -> R) -> Result<R, Broken> {
    static HOOK: Once = Once::new();
    HOOK.call_once(note_instead_of_printing);
    IS_CAUGHT.set(true);
    let result = catch_unwind(AssertUnwindSafe(step));
    IS_CAUGHT.set(false);
    result.map_err(|panic| Broken::new(ASSERTIONS, words(&*panic)))
}

/// A caught panic is part of the story that the check tells, so it is not printed by itself: the
/// same assertion may fail on thousands of ways before the search comes to its end.
fn note_instead_of_printing() {
    let print = take_hook();
    set_hook(Box::new(move |panic| {
        if IS_CAUGHT.get() {
            PLACE.set(panic.location().map(Location::to_string));
        } else {
            print(panic);
        }
    }));
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("without words");
    match PLACE.take() {
        Some(place) => format!("an assertion failed, \"{text}\", {place}"),
        None => format!("an assertion failed, \"{text}\""),
    }
}
