"""From a pandas dataframe to a prepared dataset, compared models and a report.

    python examples/from_dataframe.py

Needs pandas. The frame is made up here; read yours with pandas.read_csv, or give zhiyin.prepare the path of the file.
"""

import numpy as np
import pandas as pd

import zhiyin

# 1. A log as it comes out of a shop: own names for the columns, a few rows that are wrong.
rng = np.random.default_rng(0)
n = 6_000
customer = rng.integers(0, 250, n)
taste = customer % 3
product = np.where(rng.random(n) < 0.8, taste + 3 * rng.integers(0, 25, n), rng.integers(0, 75, n))
orders = pd.DataFrame(
    {
        "customer": [f"c{number:03d}" for number in customer],
        "product": [f"p{number:03d}" for number in product],
        "bought_at": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 180 * 86_400, n), unit="s"),
    }
)
orders.loc[:4, "customer"] = None  # nobody knows who bought these
products = pd.DataFrame(
    {
        "product": [f"p{number:03d}" for number in range(75)],
        "category": [("tea", "ware", "book")[number % 3] for number in range(75)],
    }
)

# 2. Prepare: roles are found by name and alias, bad rows are set aside, steps are counted.
dataset = zhiyin.prepare(
    zhiyin.EventLog.of(orders, roles={"time": "bought_at"}),
    zhiyin.Catalogue.of(products, roles={"item_id": "product"}),
    steps=["exact_duplicates", "one_per_pair", {"name": "minimum_counts", "users": 3, "items": 3}],
    name="orders",
)
print(dataset)
for step in dataset.manifest.steps:
    print(f"  {step.name}: {step.rows_before:,} -> {step.rows_after:,}")

# 3. Compare on a split by time; popularity runs beside by itself.
report = zhiyin.compare(dataset, ["item_knn", "ease"], split="global_time", out="orders-report", overwrite=True)
print(f"\n{report.verdict()}\n")
for result in report.models:
    print(f"  {result.name:16} {report.primary} {result.metrics[report.primary]}")
print("\nopen orders-report/report.html")

# 4. And back to pandas: the lists of three customers.
found = report.fitted.recommend(dataset.queries(np.arange(3)), k=3)
print(found.to_pandas().to_string(index=False))
