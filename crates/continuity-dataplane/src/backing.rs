//! What the engine needs beside array memory: three hash maps, a clock, a grace period, and a kernel that can be asked.

use continuity_wire::{CallerKey, CallerValue, Endpoint, ServiceKey, ServiceValue};

use crate::{CapabilityReport, Error};

/// The kernel, or the twin's stand-in.
pub trait Backing: Send {
    /// Adds or replaces a service address.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn put_service(&mut self, key: ServiceKey, value: ServiceValue) -> Result<(), Error>;

    /// Removes a service address; one that is not there is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn drop_service(&mut self, key: ServiceKey) -> Result<(), Error>;

    /// Every service address.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn services(&self) -> Result<Vec<(ServiceKey, ServiceValue)>, Error>;

    /// Adds or replaces a local backend's address.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn put_endpoint(&mut self, key: ServiceKey, value: Endpoint) -> Result<(), Error>;

    /// Removes a local backend's address; one that is not there is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn drop_endpoint(&mut self, key: ServiceKey) -> Result<(), Error>;

    /// Every local backend's address.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn endpoints(&self) -> Result<Vec<(ServiceKey, Endpoint)>, Error>;

    /// Adds or replaces a caller.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn put_caller(&mut self, key: CallerKey, value: CallerValue) -> Result<(), Error>;

    /// Removes a caller; one that is not there is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn drop_caller(&mut self, key: CallerKey) -> Result<(), Error>;

    /// Every caller.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn callers(&self) -> Result<Vec<(CallerKey, CallerValue)>, Error>;

    /// Returns when no program that runs now can still hold what it read before, at the latest after [`crate::GRACE`].
    fn grace(&self);

    /// `CLOCK_MONOTONIC` in ns.
    fn now(&self) -> u64;

    /// Whether every hook is live.
    ///
    /// # Errors
    /// Names the first one that is not.
    fn verify(&self) -> Result<(), Error>;

    /// What the node can do.
    fn capabilities(&self) -> &CapabilityReport;
}
