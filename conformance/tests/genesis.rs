//! Upgrade schedules, and the names of VMs. The rest of the family comes with the P-Chain.

#![expect(clippy::unwrap_used, reason = "a case that is not as expected must fail the test")]

use sastrugi_conformance::{Fields, cases};
use sastrugi_types::{
    Id, WallTime,
    upgrade::{Upgrade, UpgradeSchedule, UpgradeTime},
};
use sastrugi_vm::alias;
use serde_json::Value;

#[test]
fn genesis() {
    let mut aliases = alias::WELL_KNOWN.to_vec();
    for mut case in cases("genesis") {
        match case.take::<String>("kind").as_str() {
            "upgrades" => upgrades(&mut case),
            "upgrades_active" => upgrades_active(&mut case),
            "upgrades_valid" => upgrades_valid(&mut case),
            "vm_alias" => {
                let known = vm_alias(&mut case);
                aliases.retain(|alias| *alias != known);
            }
            kind => panic!("{}: kind {kind}", case.name),
        }
        case.skip("name");
        case.finish();
    }
    assert!(aliases.is_empty(), "names that upstream does not have: {aliases:?}");
}

fn schedule_of(case: &mut Fields) -> UpgradeSchedule {
    UpgradeSchedule::of_network(case.take("network_id"))
}

fn upgrades(case: &mut Fields) {
    let schedule = schedule_of(case);
    let json: Value = case.take("json");
    assert_eq!(serde_json::to_value(&schedule).unwrap(), json, "{}", case.name);
    let read: UpgradeSchedule = serde_json::from_value(json).unwrap();
    assert_eq!(read, schedule, "{}", case.name);
    let valid: bool = case.take("valid");
    assert_eq!(schedule.check().is_ok(), valid, "{}", case.name);
}

fn upgrades_active(case: &mut Fields) {
    let schedule = schedule_of(case);
    let at = case.u64("at_ns");
    let time = WallTime(at.try_into().unwrap());
    for (key, upgrade) in [
        ("apricot_phase_1", Upgrade::ApricotPhase1),
        ("banff", Upgrade::Banff),
        ("cortina", Upgrade::Cortina),
        ("durango", Upgrade::Durango),
        ("etna", Upgrade::Etna),
        ("fortuna", Upgrade::Fortuna),
        ("granite", Upgrade::Granite),
        ("helicon", Upgrade::Helicon),
    ] {
        let active: bool = case.take(key);
        assert_eq!(schedule.is_active(upgrade, time), active, "{}: {key}", case.name);
    }
}

fn upgrades_valid(case: &mut Fields) {
    let schedule: UpgradeSchedule = serde_json::from_value(case.take("json")).unwrap();
    let expected: Option<String> = case.maybe("error");
    let found = schedule.check().err().map(|error| {
        let index = |upgrade| Upgrade::ALL.iter().position(|other| *other == upgrade).unwrap();
        // As Go prints times.
        let time =
            |time: UpgradeTime| time.to_string().replace('T', " ").replace('Z', " +0000 UTC");
        format!(
            "invalid upgrade configuration: upgrade {} ({}) is after upgrade {} ({})",
            index(error.earlier),
            time(error.earlier_time),
            index(error.later),
            time(error.later_time)
        )
    });
    assert_eq!(found, expected, "{}", case.name);
}

fn vm_alias(case: &mut Fields) -> (Id, &'static str) {
    let id: Id = case.take("vm_id");
    assert_eq!(id.0, *case.bytes("hex"), "{}", case.name);
    let aliases: Vec<String> = case.take("aliases");
    let alias = alias::alias_of(&id).unwrap();
    assert_eq!(aliases, [alias], "{}", case.name);
    (id, alias)
}
