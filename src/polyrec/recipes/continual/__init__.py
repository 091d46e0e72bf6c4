"""Training that goes on: period after period, each judged before it is learned from."""
