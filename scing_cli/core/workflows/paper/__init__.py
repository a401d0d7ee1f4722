"""The paper's Figure 1 and Table 4: only the programs in `examples` call these."""
