//! The arithmetic of majorities. It knows nothing of its users.

/// How many of `voters` make a majority.
///
/// Any two majorities of the same voters share a member: all that either protocol proves, it
/// proves from that.
#[must_use]
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// The greatest value that a majority has reached, given one value for each voter.
///
/// A voter of whom nothing is known has reached the least value and must still be listed: leaving
/// it out would shrink the majority. With no voters at all there is no majority, and so no value.
#[must_use]
pub fn reached<T: Copy + Ord>(mut values: Vec<T>) -> Option<T> {
    let needed = majority(values.len());
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(needed - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_majorities_always_share_a_member() {
        for voters in 1..=9 {
            assert!(2 * majority(voters) > voters);
            assert!(majority(voters) <= voters);
        }
    }

    #[test]
    fn a_majority_has_reached_the_middle_value() {
        assert_eq!(reached(vec![7]), Some(7));
        assert_eq!(reached(vec![9, 3]), Some(3));
        assert_eq!(reached(vec![1, 9, 4]), Some(4));
        assert_eq!(reached(vec![0, 0, 5, 6, 7]), Some(5));
        assert_eq!(reached(Vec::<u64>::new()), None);
    }
}
