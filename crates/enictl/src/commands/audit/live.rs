//! The audit of all there is, as it is now.

use std::process::ExitCode;

use enid_api::v1::{AuditRequest, AuditResponse, DirectionAudit, EniAudit, PacketsAndBytes};

use super::Difference;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::Column::{Left, Right};
use crate::text::{Table, count, grouped, signed};

/// Prints both sums of each ENI.
pub(super) fn execute(task: Option<String>, session: &Session) -> Result<ExitCode, Failure> {
    let request = AuditRequest { task };
    let response = session.talk(async |client| Ok(client.flows().audit(request).await?.into_inner()))?;
    session.format.print(&response, report)?;
    if response.enis.iter().any(|eni| !closes(eni)) {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn sum(counted: Option<PacketsAndBytes>) -> Difference {
    let counted = counted.unwrap_or_default();
    [counted.packets.into(), counted.bytes.into()]
}

pub(super) fn minus([packets, bytes]: Difference, [other_packets, other_bytes]: Difference) -> Difference {
    [packets - other_packets, bytes - other_bytes]
}

/// What the wire ledger has and no record, entry or bucket explains.
fn unexplained(audit: &DirectionAudit) -> Difference {
    [audit.records, audit.not_kept, audit.pending, audit.buckets, audit.not_logged]
        .map(sum)
        .into_iter()
        .fold(sum(audit.wire_ledger), minus)
}

/// The bytes of an Ethernet header: the least that a buffer has.
const SMALLEST: i128 = 14;

/// What the wire ledger counts as refused, and no record, entry or bucket has.
fn unexplained_refusals(audit: &DirectionAudit) -> Difference {
    minus(sum(audit.refused_ledger), sum(audit.refused))
}

/// How far the interface ledger is from the kernel's counter, if that is known. Of what the device dropped the kernel knows
/// the number, and no bytes: those may be any, as long as there are some for each.
fn from_kernel(audit: &DirectionAudit) -> Option<Difference> {
    let [packets, bytes] = minus(sum(audit.interface_ledger), sum(Some(audit.kernel?)));
    let dropped = i128::from(audit.dropped_by_device);
    let explained = dropped > 0 && bytes >= dropped * SMALLEST;
    Some([packets - dropped, if explained { 0 } else { bytes }])
}

fn closes(eni: &EniAudit) -> bool {
    [&eni.egress, &eni.ingress].into_iter().flatten().all(|audit| {
        unexplained(audit) == [0, 0]
            && unexplained_refusals(audit) == [0, 0]
            && from_kernel(audit).is_none_or(|difference| difference == [0, 0])
    })
}

fn is_unknown(eni: &EniAudit) -> bool {
    [&eni.egress, &eni.ingress].into_iter().flatten().any(|audit| audit.kernel.is_none())
}

fn report(response: &AuditResponse) -> String {
    let reports: String = response.enis.iter().map(|eni| eni_report(eni) + "\n").collect();
    let audited = count(response.enis.len(), "ENI");
    let number = |of: fn(&EniAudit) -> bool| response.enis.iter().filter(|eni| of(eni)).count();
    let outcome = match number(|eni| !closes(eni)) {
        0 => "nothing left over".to_owned(),
        open => format!("{open} with something left over"),
    };
    let unknown = match number(is_unknown) {
        0 => String::new(),
        unknown => format!(", {unknown} whose kernel's counter can't be asked"),
    };
    format!("{reports}{audited} audited, {outcome}{unknown}\n")
}

fn eni_report(eni: &EniAudit) -> String {
    let egress = eni.egress.unwrap_or_default();
    let ingress = eni.ingress.unwrap_or_default();
    let mut table = Table::new([
        Left(""),
        Right("EGRESS PACKETS"),
        Right("EGRESS BYTES"),
        Right("INGRESS PACKETS"),
        Right("INGRESS BYTES"),
    ]);
    let mut row = |name: &str, cells: [String; 4]| {
        let [a, b, c, d] = cells;
        table.row([name.to_owned(), a, b, c, d]);
    };
    let counted = |of: fn(&DirectionAudit) -> Option<PacketsAndBytes>| both(of(&egress), of(&ingress));
    row("flow records", counted(|audit| audit.records));
    if [egress.not_kept, ingress.not_kept].map(sum) != [[0, 0]; 2] {
        row("records not kept", counted(|audit| audit.not_kept));
    }
    row("not yet written", counted(|audit| audit.pending));
    if [egress.not_logged, ingress.not_logged].map(sum) != [[0, 0]; 2] {
        row("not logged", counted(|audit| audit.not_logged));
    }
    row("outside flows", counted(|audit| audit.buckets));
    row("wire ledger", counted(|audit| audit.wire_ledger));
    row("left over", differences(unexplained(&egress), unexplained(&ingress)));
    let refused = [egress.refused, ingress.refused, egress.refused_ledger, ingress.refused_ledger];
    if refused.map(sum) != [[0, 0]; 4] {
        row("of these refused", counted(|audit| audit.refused));
        row("refusal ledger", counted(|audit| audit.refused_ledger));
        row("left over", differences(unexplained_refusals(&egress), unexplained_refusals(&ingress)));
    }
    row("interface ledger", counted(|audit| audit.interface_ledger));
    let known = |kernel: Option<PacketsAndBytes>| {
        kernel.map_or([UNKNOWN; 2].map(str::to_owned), |kernel| [kernel.packets, kernel.bytes].map(grouped))
    };
    row("kernel's counter", join(known(egress.kernel), known(ingress.kernel)));
    let dropped = [egress.dropped_by_device, ingress.dropped_by_device];
    if dropped != [0, 0] {
        let [out, into] = dropped.map(grouped);
        row("dropped by the device", [out, "-".to_owned(), into, "-".to_owned()]);
    }
    let difference =
        |audit| from_kernel(audit).map_or([UNKNOWN; 2].map(str::to_owned), |sum| sum.map(signed));
    row("left over", join(difference(&egress), difference(&ingress)));
    format!("{}  {}\n{}", eni.task, eni.eni_id, table.finish())
}

fn both(egress: Option<PacketsAndBytes>, ingress: Option<PacketsAndBytes>) -> [String; 4] {
    let (egress, ingress) = (egress.unwrap_or_default(), ingress.unwrap_or_default());
    [egress.packets, egress.bytes, ingress.packets, ingress.bytes].map(grouped)
}

/// Where the kernel does not tell.
const UNKNOWN: &str = "unknown";

fn join([a, b]: [String; 2], [c, d]: [String; 2]) -> [String; 4] {
    [a, b, c, d]
}

fn differences([a, b]: Difference, [c, d]: Difference) -> [String; 4] {
    [a, b, c, d].map(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(wire_bytes: u64, kernel_bytes: u64) -> AuditResponse {
        let counted = |packets, bytes| Some(PacketsAndBytes { packets, bytes });
        let egress = DirectionAudit {
            records: counted(10, 1_000),
            not_kept: None,
            pending: counted(2, 200),
            buckets: counted(1, 28),
            wire_ledger: counted(13, wire_bytes),
            interface_ledger: counted(9, 1_400),
            kernel: counted(9, kernel_bytes),
            dropped_by_device: 0,
            refused: None,
            refused_ledger: None,
            not_logged: None,
        };
        AuditResponse {
            enis: vec![EniAudit {
                task: "web".into(),
                eni_id: "eni-1".into(),
                egress: Some(egress),
                ingress: Some(DirectionAudit { kernel: counted(0, 0), ..DirectionAudit::default() }),
            }],
        }
    }

    #[test]
    fn closed_ledgers_leave_nothing_over() {
        assert_eq!(
            report(&audit(1_228, 1_400)),
            "web  eni-1\n\
             \u{20}                 EGRESS PACKETS  EGRESS BYTES  INGRESS PACKETS  INGRESS BYTES\n\
             flow records                  10         1,000                0              0\n\
             not yet written                2           200                0              0\n\
             outside flows                  1            28                0              0\n\
             wire ledger                   13         1,228                0              0\n\
             left over                      0             0                0              0\n\
             interface ledger               9         1,400                0              0\n\
             kernel's counter               9         1,400                0              0\n\
             left over                      0             0                0              0\n\
             \n\
             1 ENI audited, nothing left over\n"
        );
    }

    #[test]
    fn what_a_vpc_does_not_log_is_named() {
        let mut response = audit(1_228, 1_400);
        let egress = response.enis[0].egress.as_mut().unwrap();
        (egress.records, egress.not_logged) = (
            Some(PacketsAndBytes { packets: 6, bytes: 600 }),
            Some(PacketsAndBytes { packets: 4, bytes: 400 }),
        );
        let text = report(&response);
        let line = "\nnot logged                     4           400                0              0\n";
        assert!(text.contains(line), "{text}");
        assert!(closes(&response.enis[0]));
    }

    #[test]
    fn either_difference_is_found() {
        for (wire_bytes, kernel_bytes) in [(1_227, 1_400), (1_228, 1_401)] {
            let response = audit(wire_bytes, kernel_bytes);
            assert!(!closes(&response.enis[0]));
            let report = report(&response);
            assert!(report.contains("-1"), "{report}");
            assert!(report.ends_with("1 ENI audited, 1 with something left over\n"));
        }
    }

    #[test]
    fn refusals_close_by_themselves() {
        let mut response = audit(1_228, 1_400);
        let counted = Some(PacketsAndBytes { packets: 3, bytes: 252 });
        let egress = response.enis[0].egress.as_mut().unwrap();
        (egress.refused, egress.refused_ledger) = (counted, counted);
        let text = report(&response);
        for line in [
            "\nof these refused               3           252                0              0\n",
            "\nrefusal ledger                 3           252                0              0\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(closes(&response.enis[0]));
        response.enis[0].egress.as_mut().unwrap().refused = None;
        assert!(!closes(&response.enis[0]));
        assert!(report(&response).ends_with("1 ENI audited, 1 with something left over\n"));
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_no_difference() {
        let mut response = audit(1_228, 1_400);
        response.enis[0].ingress.as_mut().unwrap().kernel = None;
        let text = report(&response);
        assert!(closes(&response.enis[0]));
        let line = "\nkernel's counter               9         1,400          unknown        unknown\n";
        assert!(text.contains(line), "{text}");
        assert!(
            text.ends_with("1 ENI audited, nothing left over, 1 whose kernel's counter can't be asked\n"),
            "{text}"
        );
    }
}
