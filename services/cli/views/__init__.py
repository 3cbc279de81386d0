"""Figures for people: tables and pictures in the terminal, and files by matplotlib."""
