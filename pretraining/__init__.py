"""How a backbone is made: MAE, distilled MAE (D-MAE, D2-MAE), MoCo-v3, SimMIM."""
