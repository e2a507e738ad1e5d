//! Placeholder: the tests are in `it/`.
