/// The release of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    /// As the kernel tells it.
    pub(crate) text: String,
    /// Major and minor number, where the text begins with them.
    pub(crate) number: Option<(u32, u32)>,
}

impl Release {
    pub(super) fn of_kernel() -> Self {
        Self::parse(&rustix::system::uname().release().to_string_lossy())
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut numbers = text
            .split(|character: char| !character.is_ascii_digit())
            .map_while(|digits| digits.parse().ok());
        Self {
            text: text.to_owned(),
            number: numbers.next().zip(numbers.next()),
        }
    }

    /// Whether this kernel is `number` or newer; one that hides its number is taken to be.
    pub(crate) fn is_at_least(&self, number: (u32, u32)) -> bool {
        self.number.is_none_or(|own| own >= number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_all_shapes_are_compared_by_number() {
        for (text, number) in [
            ("6.18.44-fc-v669", Some((6, 18))),
            ("5.15.0-1053-aws", Some((5, 15))),
            ("6.1", Some((6, 1))),
            ("6.12-rc3", Some((6, 12))),
            ("unknown", None),
        ] {
            assert_eq!(Release::parse(text).number, number, "{text}");
        }
        assert!(Release::parse("6.1.0").is_at_least((5, 19)));
        assert!(!Release::parse("5.9.1").is_at_least((5, 19)));
    }
}
