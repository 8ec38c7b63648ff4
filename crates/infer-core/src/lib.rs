//! The engine. Pure: no async, clock, file, network or kube client.
