use std::fmt;
use std::str::FromStr;

/// Where to start: one or more `HOST:PORT`, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bootstrap(Vec<String>);

impl Bootstrap {
    /// Each `HOST:PORT`, in the order given.
    pub(crate) fn hosts(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Bootstrap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hosts: Vec<String> = text.split(',').map(|host| host.trim().to_owned()).collect();
        for host in &hosts {
            let is_good = host.rsplit_once(':').is_some_and(|(name, port)| {
                !name.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
            if !is_good {
                return Err(format!(
                    "\"{host}\" is not HOST:PORT, such as 127.0.0.1:7400"
                ));
            }
        }
        Ok(Self(hosts))
    }
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_are_taken_in_order() {
        let bootstrap: Bootstrap = "127.0.0.1:7400, [::1]:7401".parse().unwrap();
        assert_eq!(bootstrap.hosts(), ["127.0.0.1:7400", "[::1]:7401"]);
    }

    #[test]
    fn a_host_without_a_good_port_is_refused_by_name() {
        for bad in [
            "localhost",
            ":7400",
            "localhost:0",
            "localhost:70000",
            "",
            "a:1,,b:2",
        ] {
            let error = bad.parse::<Bootstrap>().unwrap_err();
            assert!(error.contains("HOST:PORT"), "{bad}: {error}");
        }
    }
}
