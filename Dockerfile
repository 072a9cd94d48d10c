# The workflow with CI's package versions. By default torch includes CUDA, which takes several GB;
# --build-arg PIP_EXTRA_INDEX_URL=... names an index of CPU wheels, such as PyTorch's.
FROM python:3.12-slim

ARG PIP_EXTRA_INDEX_URL
COPY . /opt/nst
RUN pip install --no-cache-dir --constraint /opt/nst/workflow/envs/constraints.txt \
      --editable /opt/nst

# Any user ID can run it, even one unknown here: results go to the mounted folder, caches to /tmp.
ENV HOME=/tmp USER=nst
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["snakemake", "--snakefile", "/opt/nst/Snakefile"]
CMD ["--cores", "all"]
