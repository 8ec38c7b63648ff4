//! The CRDs of routers, on the lab's API server.

use std::fs::{self, File};

use super::super::session::Lab;
use crate::{Error, Result, parts};

/// CRDs that belong together, in the version that the lab's router of that name is built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crds {
    /// `networking.istio.io` and the rest of Istio's.
    Istio,
    /// `projectcontour.io`.
    Contour,
    /// Gateway API's standard channel, with its ValidatingAdmissionPolicy.
    GatewayApi,
    /// `traefik.io`.
    Traefik,
}

impl Crds {
    fn file(self) -> &'static str {
        match self {
            Self::Istio => "istio-crds.yaml",
            Self::Contour => "contour-crds.yaml",
            Self::GatewayApi => "gateway-api-crds.yaml",
            Self::Traefik => "traefik-crds.yaml",
        }
    }
}

/// Installs them where they are not yet, and waits until the API server serves every one.
///
/// # Errors
///
/// [`Error::PartMissing`] when the part `crds` is not in the cache. Others when the API server
/// refuses one, or does not serve it within a minute and a half.
pub fn install(lab: &Lab, wanted: &[Crds]) -> Result<()> {
    let files = parts::find(parts::named("crds")?)?.ok_or_else(|| {
        Error::PartMissing(
            "the part crds is not in the cache, and a lab has no network to get it from.\n\
             Then: cargo xtask setup --part crds"
                .into(),
        )
    })?;
    let directory = lab.state.join("crds");
    fs::create_dir_all(&directory).map_err(Error::io(format!("making {}", directory.display())))?;
    // One at a time: who asks for the same ones waits for them.
    let lock = directory.join("lock");
    let doing = || format!("locking {}", lock.display());
    let lock = File::create(&lock).map_err(Error::io(doing()))?;
    lock.lock().map_err(Error::io(doing()))?;
    let lacking: Vec<&str> = wanted
        .iter()
        .map(|crds| crds.file())
        .filter(|name| !directory.join(name).exists())
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    // Some are too big for the annotation of a client-side apply.
    let mut apply = vec!["apply", "--server-side", "--force-conflicts", "-o", "name"];
    for name in &lacking {
        let file = files.get(*name).and_then(|file| file.to_str());
        let file =
            file.ok_or_else(|| Error::Failed(format!("the part crds has no readable {name}")))?;
        apply.extend(["-f", file]);
    }
    let made = lab.kubectl_ok(&apply, "")?;
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=90s"];
    wait.extend(
        made.lines()
            .filter(|line| line.starts_with("customresourcedefinition")),
    );
    lab.kubectl_ok(&wait, "")?;
    for name in lacking {
        let mark = directory.join(name);
        fs::write(&mark, "").map_err(Error::io(format!("writing {}", mark.display())))?;
    }
    Ok(())
}
