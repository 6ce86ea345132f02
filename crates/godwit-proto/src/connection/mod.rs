//! One UDT connection.

pub(crate) mod ack_history;
pub(crate) mod arrival;
pub(crate) mod loss_list;
pub(crate) mod missing;
pub(crate) mod rtt;
