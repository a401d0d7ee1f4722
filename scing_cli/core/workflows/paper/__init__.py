"""The paper's Figure 1 and Table 4. Only the programs in `examples` use this package."""
