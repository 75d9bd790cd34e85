"""Prints the numbers that the tests of src/eval/statistics.rs expect (needs numpy and scipy)."""
import numpy as np
from scipy import stats

values = np.array([i * i * 7 % 41 / 41 for i in range(40)])
interval = stats.bootstrap((values,), np.mean, n_resamples=200_000, method="percentile", rng=np.random.default_rng(1)).confidence_interval
print("SCIPY", interval.low, interval.high)
for wins, losses in [(8, 2), (5, 5), (0, 7), (5200, 4800)]:
    print("SIGN_TESTS", wins, losses, repr(float(stats.binomtest(wins, wins + losses).pvalue)))
print("quantiles", np.quantile([1, 2, 4, 8], [.025, .5, .975]))
