//! What storage costs, by a table in the configuration. It is for orders of magnitude: no taxes, no
//! discounts, no least object sizes and durations, nothing for getting things back.

use std::collections::BTreeMap;

use serde::Serialize;

/// What Amazon bills as a GB.
const GB: f64 = (1_u64 << 30) as f64;

/// Prices in USD, by storage class.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices {
    /// Where and when they were read.
    pub as_of: String,
    /// For a GB and a month.
    pub storage: BTreeMap<String, f64>,
    /// For a thousand requests that write.
    pub put_per_thousand: BTreeMap<String, f64>,
    /// For a thousand requests that read; of what has to be thawed, with that.
    pub get_per_thousand: BTreeMap<String, f64>,
    /// For getting a GB back.
    pub retrieval: BTreeMap<String, f64>,
    /// For sending a GB out to the internet.
    pub egress: Option<f64>,
}

/// What something costs in one storage class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// What a pass would archive, each month.
    pub archive_usd_per_month: f64,
    /// Everything, each month.
    pub all_usd_per_month: f64,
    /// Requests that write, once.
    pub put_usd: f64,
}

impl Prices {
    /// What it costs in each class to keep so many bytes more, so many in all, after `puts`
    /// requests.
    #[must_use]
    pub fn costs(&self, archive_bytes: u64, all_bytes: u64, puts: u64) -> BTreeMap<String, Cost> {
        let cost = |(class, price): (&String, &f64)| {
            let put = self
                .put_per_thousand
                .get(class)
                .copied()
                .unwrap_or_default();
            let cost = Cost {
                archive_usd_per_month: archive_bytes as f64 / GB * price,
                all_usd_per_month: all_bytes as f64 / GB * price,
                put_usd: puts as f64 / 1000.0 * put,
            };
            (class.clone(), cost)
        };
        self.storage.iter().map(cost).collect()
    }
}

/// For how many days at least Amazon bills an object of a class, whenever it is deleted (Amazon S3 pricing, *minimum
/// storage duration*).
fn least_days(class: &str) -> f64 {
    match class {
        "STANDARD_IA" | "ONEZONE_IA" => 30.0,
        "GLACIER_IR" | "GLACIER" => 90.0,
        "DEEP_ARCHIVE" => 180.0,
        _ => 0.0,
    }
}

/// Days in a month, on average.
const MONTH_DAYS: f64 = 365.25 / 12.0;

impl Prices {
    /// What it costs to keep so many bytes in a class for a month; `None` if there is no price for it.
    #[must_use]
    pub fn monthly(&self, class: &str, bytes: u64) -> Option<f64> {
        Some(bytes as f64 / GB * self.storage.get(class)?)
    }

    /// What it costs to read so many bytes with so many requests from within the region, and what sending them out to
    /// the internet costs besides; `None` if there is no price for the class.
    #[must_use]
    pub fn retrieval(&self, class: &str, gets: u64, bytes: u64) -> Option<(f64, Option<f64>)> {
        let gb = bytes as f64 / GB;
        let requests = gets as f64 / 1000.0 * self.get_per_thousand.get(class)?;
        let usd = requests + gb * self.retrieval.get(class)?;
        Some((usd, self.egress.map(|price| gb * price)))
    }

    /// What deleting bytes of an age costs that are billed for longer.
    #[must_use]
    pub fn early_deletion(&self, class: &str, bytes: u64, age_days: f64) -> Option<f64> {
        let left = (least_days(class) - age_days).max(0.0);
        Some(self.monthly(class, bytes)? * left / MONTH_DAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deleted_early_is_billed_to_its_end() {
        let prices = Prices {
            storage: [("GLACIER".to_owned(), 0.0036)].into(),
            ..Prices::default()
        };
        let charge = prices.early_deletion("GLACIER", 100 << 30, 30.0).unwrap();
        assert!((charge - 0.36 * 60.0 / 30.4375).abs() < 1e-9, "{charge}");
        assert_eq!(prices.early_deletion("GLACIER", 100 << 30, 90.0), Some(0.0));
        assert_eq!(prices.monthly("STANDARD", 1), None);
    }

    #[test]
    fn reading_costs_requests_retrieval_and_the_way_out() {
        let one = |price: f64| [("GLACIER_IR".to_owned(), price)].into();
        let prices = Prices {
            get_per_thousand: one(0.01),
            retrieval: one(0.03),
            egress: Some(0.09),
            ..Prices::default()
        };
        let (usd, egress) = prices.retrieval("GLACIER_IR", 100_000, 10 << 30).unwrap();
        assert!((usd - 1.3).abs() < 1e-9, "{usd}");
        assert!((egress.unwrap() - 0.9).abs() < 1e-9, "{egress:?}");
        assert_eq!(prices.retrieval("STANDARD", 1, 1), None);
    }

    #[test]
    fn the_example_of_a_library_of_827_gb() {
        let table = |pairs: [(&str, f64); 2]| pairs.map(|(k, v)| (k.to_owned(), v)).into();
        let prices = Prices {
            as_of: String::new(),
            storage: table([("STANDARD", 0.023), ("DEEP_ARCHIVE", 0.00099)]),
            put_per_thousand: table([("STANDARD", 0.005), ("DEEP_ARCHIVE", 0.05)]),
            ..Prices::default()
        };
        let costs = prices.costs(827 << 30, 1654 << 30, 2000);
        let rounded = |class: &str| {
            let cost = &costs[class];
            let cents = |usd: f64| (usd * 100.0).round();
            let months = (
                cents(cost.archive_usd_per_month),
                cents(cost.all_usd_per_month),
            );
            (months.0, months.1, cents(cost.put_usd))
        };
        assert_eq!(rounded("STANDARD"), (1902.0, 3804.0, 1.0));
        assert_eq!(rounded("DEEP_ARCHIVE"), (82.0, 164.0, 10.0));
    }
}
