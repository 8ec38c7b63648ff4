//! Manifests with places.
