"""Ranking: the second stage; which of some candidates comes first, for this person at this moment.

candidates     pairs of queries and items
features       what is known of each pair, one family a file (open room)
table          the families side by side
rankers        features into an order, one ranker a file (open room)
pipeline       retrieve, then rank: a recommender of two stages
"""
