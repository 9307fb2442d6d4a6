//! What the tests of the store's packages share.
