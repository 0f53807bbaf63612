"""A whole run on images of its own making: cells, training, the choice, the page.

cells.py   images and masks of fluorescent cells, made from a seed
run.py     the steps of the commands, one after the other, into one folder
page.py    index.html, which shows what came out
"""
