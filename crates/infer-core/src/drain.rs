//! The drain plan: from how long people wait to what the pod must be told. One pure function; all
//! times in seconds.

/// What endpoints and proxies need to hear that a pod is going.
pub const PROPAGATION: u32 = 15;
/// What a server gets to exit after it has served.
pub const EXIT: u32 = 10;

/// What a plan is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// How long answers that are under way shall have.
    pub window: u32,
    /// How long the server surely goes on serving after SIGTERM.
    pub serves: u32,
    /// What the grace period may not exceed.
    pub cap: u32,
    /// The grace period that a person wrote.
    pub written_grace: Option<u32>,
}

/// What the pod must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How long preStop sleeps; `None` where the grace leaves no room for it.
    pub sleep: Option<u32>,
    /// The grace period.
    pub grace: u32,
}

/// Makes the plan.
///
/// A server that serves through the window after SIGTERM needs only the time in which the world
/// hears of it; any other has to be kept from SIGTERM for the whole window. The sleep yields first
/// to a cap or to a grace that a person wrote.
pub fn plan(needs: Needs) -> Plan {
    let wanted = if needs.serves >= needs.window {
        PROPAGATION
    } else {
        PROPAGATION.max(needs.window)
    };
    let after = needs.serves.saturating_add(EXIT);
    match needs.written_grace {
        Some(grace) => {
            let room = grace.saturating_sub(EXIT);
            Plan {
                sleep: Some(wanted.min(room)).filter(|sleep| *sleep > 0),
                grace,
            }
        }
        None => {
            let sleep = wanted.min(needs.cap.saturating_sub(after));
            let grace = sleep.saturating_add(after).min(needs.cap);
            Plan {
                sleep: Some(sleep).filter(|sleep| *sleep > 0),
                grace,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(window: u32, serves: u32) -> Needs {
        Needs {
            window,
            serves,
            cap: 600,
            written_grace: None,
        }
    }

    #[test]
    fn a_server_that_finishes_nothing_sleeps_through_the_window() {
        assert_eq!(
            plan(needs(60, 0)),
            Plan {
                sleep: Some(60),
                grace: 70
            }
        );
        assert_eq!(
            plan(needs(5, 0)),
            Plan {
                sleep: Some(15),
                grace: 25
            }
        );
    }

    #[test]
    fn a_server_that_finishes_sleeps_until_the_world_has_heard() {
        assert_eq!(
            plan(needs(60, 60)),
            Plan {
                sleep: Some(15),
                grace: 85
            }
        );
        assert_eq!(
            plan(needs(60, 45)),
            Plan {
                sleep: Some(60),
                grace: 115
            }
        );
    }

    #[test]
    fn the_sleep_yields_to_the_cap() {
        assert_eq!(
            plan(needs(900, 0)),
            Plan {
                sleep: Some(590),
                grace: 600
            }
        );
        assert_eq!(
            plan(needs(900, 595)),
            Plan {
                sleep: None,
                grace: 600
            }
        );
    }

    #[test]
    fn the_sleep_yields_to_a_written_grace() {
        let written = |grace| {
            plan(Needs {
                written_grace: Some(grace),
                ..needs(60, 0)
            })
        };
        assert_eq!(
            written(30),
            Plan {
                sleep: Some(20),
                grace: 30
            }
        );
        assert_eq!(
            written(10),
            Plan {
                sleep: None,
                grace: 10
            }
        );
        assert_eq!(
            written(300),
            Plan {
                sleep: Some(60),
                grace: 300
            }
        );
    }
}
