"""Options as legs: what a strategy is made of, what it brings or costs at any price, and which of them an account holds. Pure."""
