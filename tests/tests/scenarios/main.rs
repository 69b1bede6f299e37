//! Stories that have cost others their users' records, told of this cluster.
//!
//! Each is one run in simulation, from a fixed seed, in the words of
//! [`story`](quorate_tests::simulation::story).

mod clients;
mod damage;
mod members;
mod network;
mod power;
