use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use quorate_model::Scope;

/// Serves Stateright's Explorer on this machine, to walk through the states of a scope by hand.
#[derive(Args)]
pub(super) struct Explore {
    /// The name of a scope, or a preset for its first scope.
    #[arg(value_name = "PRESET|SCOPE", value_parser = super::scopes)]
    scopes: std::vec::Vec<Scope>,
    /// The port.
    #[arg(long, default_value_t = 3000)]
    port: u16,
}

impl Explore {
    /// Only returns when the Explorer ends.
    pub(super) fn run(self) -> bool {
        let Some(scope) = self.scopes.first() else {
            return false;
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        println!("{scope}");
        println!("http://{address}/");
        scope.explore(address);
        true
    }
}
