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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_a_library_of_827_gb() {
        let table = |pairs: [(&str, f64); 2]| pairs.map(|(k, v)| (k.to_owned(), v)).into();
        let prices = Prices {
            as_of: String::new(),
            storage: table([("STANDARD", 0.023), ("DEEP_ARCHIVE", 0.00099)]),
            put_per_thousand: table([("STANDARD", 0.005), ("DEEP_ARCHIVE", 0.05)]),
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
