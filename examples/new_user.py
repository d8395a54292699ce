"""Recommend for a live session: somebody whom training never saw, one click after another.

    python examples/new_user.py

A user is a history. The model below is fitted once; then a stranger comes, and every click makes the list better. The
data are a synthetic shop, so that nothing is downloaded.
"""

from zhiyin import Query, load, models
from zhiyin.data.synthetic import synthetic

# 1. Yesterday: learn from the log of the shop, and save the model.
dataset, _ = synthetic(n_users=500, n_items=120, n_events=20_000, n_groups=4, seed=7)
models.ItemKNN(neighbours=50).fit(dataset).save("session-model", overwrite=True)

# 2. Today: the service opens the model. It holds no users, so nobody can be unknown to it.
model = load("session-model")
titles = dict(zip(dataset.items.ids.to_pylist(), dataset.item_titles(), strict=True))
categories = dict(zip(dataset.items.ids.to_pylist(), dataset.item_table.column("categories").to_pylist(), strict=True))

# 3. A stranger clicks on three items of one kind.
kind = "opera"
clicks = [item for item, kinds in categories.items() if kind in kinds][:3]

for n in range(len(clicks) + 1):
    history = clicks[:n]
    found = model.recommend(Query.of(history), k=5, reasons=1).to_dicts()[0]
    print(f"\nafter {n} clicks: {', '.join(titles[item] for item in history) or 'nothing yet'}")
    for item in found["items"]:
        reason = item["reasons"][0]
        why = f"because of {titles[reason['item_id']]}" if reason["kind"] == "history" else reason["text"]
        print(f"  {item['rank']}. {titles[item['item_id']]:32} from {item['source']}, {why}")

# 4. The list is the session's own: what part of it is of the kind that was clicked?
share = sum(kind in categories[item["item_id"]] for item in found["items"]) / len(found["items"])
print(f"\n{share:.0%} of the last list is {kind}")
