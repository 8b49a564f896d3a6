"""Pages of GLAN Studio, run by `st.navigation` in streamlit_app.py."""
