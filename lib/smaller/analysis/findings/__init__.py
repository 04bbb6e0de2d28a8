"""What the tables say, as `Finding`s for each notebook; `claims` judges the papers' claims by them."""
