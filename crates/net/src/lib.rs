//! TLS identity, dialing, listening and connections.
