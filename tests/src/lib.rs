//! Holds nothing: the tests are in `it/`, all in one binary.
