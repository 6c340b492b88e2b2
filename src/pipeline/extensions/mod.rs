//! The extensions that every gateway has.
