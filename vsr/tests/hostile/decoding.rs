use proptest::prelude::*;
use proptest::sample::Index;

use crate::corpus::Kind;
use crate::mutation::{mutations, seal};

#[test]
fn what_was_written_reads_back() {
    for kind in Kind::ALL {
        for (number, bytes) in kind.corpus().iter().enumerate() {
            // What was once harmful is in the corpus as well, and may be refused.
            if let Some(again) = kind.through(bytes) {
                assert_eq!(&again, bytes, "{kind:?} {number}");
            }
        }
    }
}

/// Changes bytes of every kind, and reads them: with their checksum as it was, and made to fit.
#[test]
fn no_bytes_make_a_decoder_panic() {
    let corpora = Kind::ALL.map(|kind| (kind, kind.corpus()));
    let case = (any::<Index>(), any::<Index>(), mutations());
    let config = ProptestConfig {
        cases: 50_000,
        failure_persistence: Some(Box::new(
            proptest::test_runner::FileFailurePersistence::WithSource("regressions"),
        )),
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    proptest!(config, |((kind, entry, mutations) in case)| {
        let (kind, corpus) = kind.get(&corpora);
        let mut bytes = entry.get(corpus).clone();
        for mutation in &mutations {
            mutation.apply(&mut bytes);
        }
        prop_assert!(!kind.is_sealed() || is_refused_or_same(*kind, &bytes));
        if kind.is_sealed() {
            seal(&mut bytes);
        }
        prop_assert!(is_refused_or_same(*kind, &bytes));
    });
}

/// A value that is taken is the same after it was written and read again.
fn is_refused_or_same(kind: Kind, bytes: &[u8]) -> bool {
    let Some(written) = kind.through(bytes) else {
        return true;
    };
    kind.through(&written).as_ref() == Some(&written)
}
