//! Events of the catalog.
