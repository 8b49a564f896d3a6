"""Figures as plotly or ECharts specifications, built from data frames and a style."""
