//! The integration tests.

#[cfg(test)]
mod admin_sync;
#[cfg(test)]
mod bugs;
#[cfg(test)]
mod clerk_client;
#[cfg(test)]
mod command;
#[cfg(test)]
mod comparison;
#[cfg(test)]
mod convergence;
#[cfg(test)]
mod edits;
#[cfg(test)]
mod email_changes;
#[cfg(test)]
mod emulator;
#[cfg(test)]
mod emulator_organizations;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod load;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod organizations;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod sandboxes;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sync_user;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod webhook;
