"""Ranking: the second stage; which of some candidates comes first, for this person at this moment.

candidates     pairs of queries and items
features       what is known of each pair, one family a file (open room)
table          the families side by side
rankers        features into an order, one ranker a file (open room)
value          what a candidate is worth, by a declared formula
rules          what may be listed, and what a list must keep to
ranked         candidates in the order of the list to be, and what was done to each
draft          lists in the making, a place at a time
rerankers      a ranked pool into a list, one re-ranker a file (open room)
uplift         what a coupon changes, one learner a file (open room)
budget         who gets which coupon for the money
pipeline       retrieve, rank, re-rank: a recommender of several stages
"""
