//! Every test and estimate beside scipy's.

use serde_json::Value;
use tandem_statistics::{NullDistribution, cohen_dz, hodges_lehmann, holm, signed_rank};

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/statistics.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Both sides are computed in f64.
fn close(ours: f64, theirs: &Value, what: &str) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() <= 1e-10 * theirs.abs(), "{what}: {ours}, scipy says {theirs}");
}

#[test]
fn the_signed_rank_test_equals_scipys_in_both_modes() {
    let golden = golden();
    let mut exact = 0;
    for case in golden["signed_rank"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let differences = numbers(&case["differences"]);
        let test = signed_rank(&differences).unwrap();
        let mode = match test.distribution {
            NullDistribution::Exact => "exact",
            NullDistribution::Normal => "asymptotic",
        };
        assert_eq!(case["method"], mode, "{name}");
        exact += usize::from(mode == "exact");
        close(test.p, &case["p"], name);
        close(test.positive.min(test.negative), &case["statistic"], name);
        close(test.rank_biserial(), &case["rank_biserial"], name);
        close(cohen_dz(&differences).unwrap(), &case["cohen_dz"], name);
        close(hodges_lehmann(&differences).unwrap(), &case["hodges_lehmann"], name);
    }
    let all = golden["signed_rank"].as_array().unwrap().len();
    assert!(exact >= 4 && all - exact >= 4, "{exact} of {all} are exact");
}

#[test]
fn holms_correction_equals_that_of_statsmodels() {
    for case in golden()["holm"].as_array().unwrap() {
        for (at, (ours, theirs)) in
            holm(&numbers(&case["p"])).iter().zip(case["adjusted"].as_array().unwrap()).enumerate()
        {
            close(*ours, theirs, &format!("p value {at}"));
        }
    }
}
