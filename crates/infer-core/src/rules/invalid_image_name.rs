use crate::image;
use crate::lens::Workload;
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "invalid-image-name",
    summary: "no registry can hold an image of this name",
    page: include_str!("invalid_image_name.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: &[],
    needs: &[],
    checks: &[Check::Workload(check)],
};

fn check(_: &World<'_>, workload: &Workload<'_>, findings: &mut Findings) {
    for server in &workload.servers {
        let container = workload.container(server);
        let reference = container
            .get("image")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let Some(flaw) = image::flaw(reference) else {
            continue;
        };
        findings
            .add(
                format!("{}/image", server.path),
                format!("the image cannot be pulled: {flaw}"),
            )
            .note("the pod stays in `InvalidImageName`; the API server does not check this")
            .help("write the repository in lower case letters, digits and `.`, `_`, `-`");
    }
}
