use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// More than this is not kept of one thread, if nobody takes it.
const HEARD_MAX: usize = 100_000;
/// The field in which an event has its words.
const MESSAGE: &str = "message";
/// The span in which the network simulation lets a host take its turn, and the field of its name.
const HOST: (&str, &str) = ("node", "name");

thread_local! {
    static HEARD: RefCell<Vec<Heard>> = const { RefCell::new(Vec::new()) };
}

/// An event of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The host on which it happened, if it was on one.
    pub host: Option<String>,
    /// How loud it was.
    pub level: Level,
    /// The module that told it.
    pub target: &'static str,
    /// Its words.
    pub message: String,
    /// What else it says, by name.
    pub fields: BTreeMap<&'static str, String>,
}

/// Hears what the nodes tell, and nobody else; all but their finest details.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listener;

/// Has the events of all nodes heard, each by the thread on which they happen; what this one has
/// heard before is forgotten.
///
/// # Panics
///
/// If somebody else hears all events of this process.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Listener);
        tracing::subscriber::set_global_default(subscriber).expect("nobody else listens");
    });
    drop(take_heard());
}

/// What this thread has heard since it was asked last.
pub fn take_heard() -> Vec<Heard> {
    HEARD.take()
}

/// The name of a host.
struct Host(String);

impl<S> Layer<S> for Listener
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        match metadata.is_span() {
            true => metadata.name() == HOST.0,
            false => *metadata.level() <= Level::DEBUG && metadata.target().starts_with("quorate_"),
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut said = Said::default();
        attributes.record(&mut said);
        if let (Some(span), Some(name)) = (context.span(id), said.fields.remove(HOST.1)) {
            span.extensions_mut().insert(Host(name));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let host = context.lookup_current().and_then(|span| {
            let mut spans = span.scope();
            spans.find_map(|span| span.extensions().get::<Host>().map(|host| host.0.clone()))
        });
        let heard = Heard {
            host,
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: said.fields.remove(MESSAGE).unwrap_or_default(),
            fields: said.fields,
        };
        HEARD.with_borrow_mut(|all| {
            if all.len() < HEARD_MAX {
                all.push(heard);
            }
        });
    }
}

/// The fields of an event, as text.
#[derive(Default)]
struct Said {
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, message, .. } = self;
        if let Some(host) = &self.host {
            write!(f, "{host} ")?;
        }
        write!(f, "{level} {}: {message}", self.target)?;
        self.fields
            .iter()
            .try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn event_is_heard_with_its_host_and_fields() {
        let subscriber = tracing_subscriber::registry().with(Listener);
        tracing::subscriber::with_default(subscriber, || {
            let _turn = tracing::info_span!("node", name = "node-3").entered();
            let _other = tracing::info_span!("other").entered();
            tracing::warn!(target: "quorate_replica::a", count = 7, why = "full", "no room");
            tracing::trace!(target: "quorate_replica::a", "a detail");
            tracing::warn!(target: "elsewhere", "no room");
        });
        let heard = take_heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        let text = heard[0].to_string();
        assert_eq!(
            text,
            "node-3 WARN quorate_replica::a: no room count=7 why=full"
        );
        assert!(take_heard().is_empty());
    }
}
