//! The engine interfaces of Snow consensus, its gears, chains and router.
